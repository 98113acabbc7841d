from decimal import Decimal

from config.sparkline import points


def test_a_line_reaches_from_edge_to_edge_and_up_to_its_greatest():
    assert points([Decimal(0), Decimal(5), Decimal(10)]) == "0.0,23.0 50.0,12.0 100.0,1.0"


def test_what_is_unknown_is_left_out_and_not_drawn_as_nothing():
    assert points([Decimal(4), None, Decimal(2)]) == "0.0,1.0 100.0,12.0"


def test_of_nothing_there_is_no_line():
    assert (
        points([]) == points([Decimal(1)]) == points([Decimal(0)] * 9) == points([None, None]) == ""
    )
