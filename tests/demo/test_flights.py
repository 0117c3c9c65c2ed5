from collections import Counter

from gateway.demo.definitions import AS_OF, REPOSITORY
from gateway.demo.flights import ROWS, UNASSIGNED, last_flight, read_flights

[FLIGHTS] = REPOSITORY.workspaces[0].sources


def test_the_shipped_data_is_what_its_recipe_says() -> None:
    flights = list(read_flights())
    assert len(flights) == ROWS == 12_004
    assert flights[-1] == last_flight()
    instants = [str(flight["scheduled_departure"]) for flight in flights]
    assert instants == sorted(instants)
    assert (instants[0], instants[-1]) == ("2013-01-01T10:15:00Z", "2013-01-14T22:58:00Z")
    assert instants[-1] < AS_OF
    assert Counter(flight["origin"] for flight in flights) == {"EWR": 4373, "JFK": 4155, "LGA": 3476}
    assert sum(flight["cancelled"] is True for flight in flights) == 82
    assert sum(flight["arr_delay"] is None for flight in flights) == 122
    assert sum(flight["tailnum"] == UNASSIGNED for flight in flights) == 24


def test_the_record_key_and_timestamp_name_each_flight_once() -> None:
    keys = Counter(tuple(flight[name] for name in (*FLIGHTS.record_key, FLIGHTS.timestamp)) for flight in read_flights())
    assert max(keys.values()) == 1


def test_a_record_has_the_sources_columns_and_a_cancelled_flight_never_departed() -> None:
    flights = list(read_flights())
    assert {tuple(flight) for flight in flights} == {tuple(column.name for column in FLIGHTS.columns)}
    first = flights[0]
    assert (first["scheduled_departure"], first["dep_delay"], first["departed_at"]) == ("2013-01-01T10:15:00Z", 2, "2013-01-01T10:17:00Z")
    cancelled = [flight for flight in flights if flight["cancelled"]]
    assert {(flight["dep_delay"], flight["air_time"], flight["departed_at"]) for flight in cancelled} == {(None, None, None)}
