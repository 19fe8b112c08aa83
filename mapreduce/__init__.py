"""MapReduce on any `dynamo.store.Store`: see `mapreduce.api` for what users write."""
