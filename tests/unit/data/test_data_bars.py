from nearfar.data.bars import WIDTH, class_bars


def test_bars_are_in_proportion_and_end_where_nothing_is_drawn():
    head, *lines = class_bars(("few", "none", "many"), (10, 0, 40))
    assert head.split() == ["as", "they", "are", "sqrt", "balanced"]
    assert [line.split()[0] for line in lines] == ["many", "few", "none"]
    many, few, none = (line.split() for line in lines)
    assert [many[at] for at in (1, 3, 5)] == ["40", "33", "25"]
    assert [few[at] for at in (1, 3, 5)] == ["10", "17", "25"]
    assert many[2] == "█" * WIDTH
    assert few[2] == "███▌"
    assert none == ["none", "0", "0", "0"]


def test_what_is_hardly_there_is_seen():
    _, _, few = class_bars(("a", "b"), (100_000, 1))
    assert "1 ▏" in few


def test_of_many_classes_the_largest_and_the_smallest_are_drawn():
    names = [f"a class with a long name {number:03d}" for number in range(500)]
    _, *lines = class_bars(names, range(1, 501))
    assert len(lines) == 17
    assert lines[8] == "... 484 more ..."
    assert lines[0].startswith("a class with a long…  500 ")
    assert all(len(line) < 100 for line in lines)
