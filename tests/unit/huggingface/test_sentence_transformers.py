"""What a sentence-transformers folder says about the encoder in it."""

import json

from lightpaff_fairseq.huggingface.sentence_transformers import set_width


def test_the_pooling_gets_the_width_of_the_encoder_and_keeps_its_mode(tmp_path):
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [{"path": path, "type": f"x.models.{kind}"} for path, kind in kinds.items()]
    set_width(tmp_path, 8)  # another folder: nothing to do
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    path = tmp_path / "1_Pooling" / "config.json"
    path.parent.mkdir()
    config = {"word_embedding_dimension": 384, "pooling_mode_cls_token": True}
    path.write_text(json.dumps(config))
    set_width(tmp_path, 192)
    assert json.loads(path.read_text()) == {**config, "word_embedding_dimension": 192}
    assert {x.name for x in tmp_path.iterdir()} == {"modules.json", "1_Pooling"}
