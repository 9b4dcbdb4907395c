"""From a fairseq checkpoint to what serves it: written, compared, put in place."""
