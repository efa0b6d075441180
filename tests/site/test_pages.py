"""Every page in a real browser with the network shut: a file, over http, a phone, in the dark, on paper, without scripts."""


def test_nothing_leaves_the_site(look, page):
    assert look(page).left == []


def test_nothing_is_missing(look, page):
    assert look(page).failed == []


def test_no_script_complains(look, page):
    assert look(page).errors == []


def test_every_chart_is_drawn(look, page):
    seen = look(page)
    for figures in (seen.wide, seen.narrow, seen.served):
        assert [f["id"] for f in figures if f["state"] != "drawn"] == []
    assert {f["look"] for f in seen.wide} <= {"light wide"}
    assert {f["look"] for f in seen.narrow} <= {"dark narrow"}


def test_charts_say_what_they_show_and_where_it_is_from(look, page):
    for figure in look(page).wide:
        assert figure["title"] and figure["button"], figure["id"]
        assert len(figure["alt"]) > len(figure["title"]) + 20, figure["id"]
        assert len(figure["source"].removeprefix("Source: ")) > 3, figure["id"]


def test_charts_keep_their_place(look, page):
    seen = look(page)
    for figure in seen.wide + seen.narrow:
        assert figure["overflow"] <= 1, figure["id"]
        assert abs(figure["grown"]) <= 2, figure["id"]


def test_a_phone_never_scrolls_sideways(look, page):
    assert look(page).sideways <= 0, look(page).too_wide


def test_no_serious_barrier(look, page):
    assert look(page).violations == []


def test_without_scripts_every_chart_has_its_static_twin(look, page):
    seen = look(page)
    assert len(seen.twins) >= len(seen.wide)
    for twin in seen.twins:
        assert twin["alt"] and twin["drawn"] > 300 and twin["width"] > 300, twin["id"]


def test_on_paper_no_table_is_cut(look, page):
    assert look(page).cut == []
