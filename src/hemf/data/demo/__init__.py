"""The embedded data set: lesions whose class is in their texture and in their outline."""
