"""The console scripts: each reads its options and calls one library function."""
