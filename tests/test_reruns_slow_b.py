"""The second half of the pages, run again with other parameters: see reruns.py."""

import pytest
import reruns

pytestmark = reruns.MARKS


@pytest.mark.parametrize("page", reruns.half(1))
def test_a_page_runs_with_other_parameters_and_each_of_them_matters(page):
    reruns.check_page(page)
