"""What is known of each image beside its class, such as age, sex and device: columns of the manifest."""
