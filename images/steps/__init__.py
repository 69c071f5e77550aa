"""One verb each: inputs in, path out."""
