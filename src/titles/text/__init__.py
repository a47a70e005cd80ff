"""From a title to word ids: normalization, tokens, vocabulary, pretrained vectors."""
