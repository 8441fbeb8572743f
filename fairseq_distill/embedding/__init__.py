"""Text to embeddings with a trained student or a teacher."""
