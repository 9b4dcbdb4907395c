"""The place of the student's data."""

from lightpaff_fairseq.sequence_kd.data_folder import check_output


def test_an_empty_folder_may_be_written_to(tmp_path):
    (tmp_path / "out").mkdir()
    check_output(tmp_path / "out", [tmp_path / "data"], overwrite=False)
