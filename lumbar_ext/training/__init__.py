"""What a training run needs beside MONAI: the dataset of views, averaged weights, a time budget."""
