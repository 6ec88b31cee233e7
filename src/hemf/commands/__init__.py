"""One verb a file: a typed function, from which its flags are made."""
