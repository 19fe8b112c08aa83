"""A module that goes with a job: it is on nobody's path otherwise."""


def weight(word):
    return len(word) * 3 + word.count("a")
