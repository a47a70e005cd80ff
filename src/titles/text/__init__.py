"""From titles to word ids: normalization, tokenizer, subword hashing, encoder, pretrained word vectors."""
