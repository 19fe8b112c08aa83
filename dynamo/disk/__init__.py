"""What a node keeps: the `Disk` contract, its twin in memory, the byte formats, LevelDB."""
