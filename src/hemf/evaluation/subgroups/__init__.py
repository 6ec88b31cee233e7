"""Whether a model does as well in each part of the images: by sex, age, site, device, or any other column."""
