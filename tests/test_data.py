"""The tables of data/: every column described, every row with unit, basis, source and date, every key resolved."""

import dataclasses
import re
from pathlib import Path

import pandas as pd
import pytest

from costpertoken import tables
from costpertoken.fleet.pools import Pools
from costpertoken.model.counts import Counts
from costpertoken.model.roofline import Step
from costpertoken.model.serving import Capacity, Serving
from costpertoken.model.transformer import active_parameters, parameters
from costpertoken.model.units import SUFFIXES
from costpertoken.money.cost import UnitCost

DATA = Path(__file__).resolve().parents[1] / "data"
TABLES = sorted(path.stem for path in DATA.glob("*.csv"))
BASES = {"measured", "published", "derived", "assumed"}
DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")
MAX_BYTES = 1_000_000
LARGE = {"measurements": 2_000_000}
MAX_PRICE_SPREAD = 30  # a slip of a thousand shows, a market's spread does not
MAX_PARAMETER_ERROR = 0.02

#: What each table is sorted by and its rows are told apart by.
KEYS = {
    "accelerators": ["id"],
    "accounts": ["account", "quantity"],
    "api_price_history": ["model_id", "price_key", "effective_from", "source"],
    "api_prices": ["kind", "model_id", "provider", "provider_model_key", "source"],
    "api_terms": ["provider", "term"],
    "calibration": ["constant", "engine", "vendor", "format"],
    "claim_inputs": ["claim_id", "name"],
    "claims": ["id"],
    "conventions": ["name"],
    "cpus": ["id"],
    "efficiency": ["constant", "engine", "vendor", "format"],
    "engines": ["engine", "date_before"],
    "gpu_price_history": ["accelerator_id", "provider", "region", "instance", "commitment", "seen_on"],
    "gpu_prices": ["accelerator_id", "provider", "region", "instance", "n_accel", "commitment", "as_of", "source"],
    "levers": ["lever", "setting"],
    "measurements": ["id"],
    "models": ["id"],
    "nomenclature": ["term"],
    "ownership": ["quantity", "scope", "accelerator_id"],
    "peer_predictions": ["measurement_id", "peer"],
    "precisions": ["id"],
    "residuals": ["left_out", "kind", "regime", "architecture"],
    "sources": ["id"],
    "techniques": ["technique", "quantity", "condition", "source"],
    "traces": ["trace", "quantity"],
}
#: Tables with one value a row, whose unit stands beside it; the others carry it in the column's name and the codebook.
LONG = [
    "accounts",
    "api_terms",
    "calibration",
    "conventions",
    "efficiency",
    "gpu_price_history",
    "gpu_prices",
    "levers",
    "measurements",
    "ownership",
    "techniques",
    "traces",
]
#: The date column of tables that have no as_of, and those without provenance of their own.
DATE_COLUMN = {"api_price_history": "effective_from", "gpu_price_history": "seen_on"}
SOURCE_COLUMN = {"measurements": "source_id"}
OWN_PROVENANCE = {"codebook", "nomenclature", "sources"}
#: Models with open weights that are sold but whose dimensions are not held: names of a service, or newer than the configs.
OPEN_WITHOUT_DIMENSIONS = {
    "deepseek-chat", "deepseek-reasoner", "deepseek-v3.1", "deepseek-v3.2", "deepseek-v4-flash", "deepseek-v4-pro", "kimi-k2.5",
}  # fmt: skip
#: Headlines that are the rounded number of a name, or rounded on the card, and so differ from the count.
ROUNDED_HEADLINE = {
    "falcon-40b", "gemma-2-9b", "kimi-k2", "llama-2-7b", "llama-3.2-1b", "llama-3.2-3b", "mistral-7b", "phi-4",
    "qwen2.5-32b", "qwen2.5-7b",
}  # fmt: skip
#: Cards that leave the embedding out of the active count, or round it.
ROUNDED_ACTIVE = {"glm-4.5", "glm-4.5-air", "gpt-oss-20b", "kimi-k2", "minimax-m2.5"}


def read(table: str) -> pd.DataFrame:
    return pd.read_csv(DATA / f"{table}.csv", dtype=str, keep_default_na=False, encoding="utf-8")


def numbers(table: str, columns) -> pd.DataFrame:
    return read(table)[columns].replace("", None).astype(float)


def book(table: str) -> pd.DataFrame:
    return read("codebook").query("table == @table").set_index("column")


def with_column(column: str) -> list[str]:
    return [table for table in TABLES if column in read(table)]


def columns_of(kind: str) -> list[tuple[str, str]]:
    described = read("codebook")
    chosen = described[described["type"].str.startswith(kind)]
    return list(chosen[["table", "column"]].itertuples(index=False, name=None))


def bad_rows(frame: pd.DataFrame, good: pd.Series) -> list[str]:
    """The rows that fail, named by line of the file, for the assertion's message."""
    return [f"line {row + 2}: {frame.iloc[row].to_dict()}" for row in (~good.to_numpy(dtype=bool)).nonzero()[0]]


# ---- files


@pytest.mark.parametrize("table", TABLES)
def test_files_are_plain_and_small(table):
    raw = (DATA / f"{table}.csv").read_bytes()
    text = raw.decode("utf-8")
    assert len(raw) < LARGE.get(table, MAX_BYTES)
    assert "\r" not in text and text.endswith("\n") and not text.endswith("\n\n")
    assert not [line for line in text.splitlines() if line != line.rstrip()]


@pytest.mark.parametrize("table", TABLES)
def test_cells_carry_no_stray_spaces(table):
    frame = read(table)
    stripped = frame.apply(lambda column: column.str.strip())
    assert not bad_rows(frame, (frame == stripped).all(axis=1))


@pytest.mark.parametrize("table", sorted(set(KEYS) - {"engines"}))  # engines are tried in order, the first match counts
def test_rows_are_sorted_by_their_key(table):
    keys = list(read(table)[KEYS[table]].itertuples(index=False, name=None))
    assert keys == sorted(keys)


@pytest.mark.parametrize("table", sorted(KEYS))
def test_keys_tell_rows_apart(table):
    frame = read(table)
    assert not bad_rows(frame, ~frame.duplicated(KEYS[table]))


@pytest.mark.parametrize("table", [table for table in with_column("id")])
def test_ids_are_unique_slugs(table):
    ids = read(table)["id"]
    assert ids.is_unique
    assert not [key for key in ids if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", key)]


# ---- codebook


def test_every_table_has_a_key_here():
    assert set(TABLES) == set(KEYS) | {"codebook"}


def test_codebook_describes_no_other_table():
    assert sorted(set(read("codebook")["table"])) == TABLES


@pytest.mark.parametrize("table", TABLES)
def test_codebook_has_every_column_in_order(table):
    assert book(table).index.tolist() == read(table).columns.tolist()


def test_codebook_types_are_known():
    allowed = r"id|string|int|float|signed|bool|date|enum:[^|]+(\|[^|]+)*"
    assert not [kind for kind in read("codebook")["type"] if not re.fullmatch(allowed, kind)]


@pytest.mark.parametrize("table", TABLES)
def test_required_cells_are_filled(table):
    frame, required = read(table), book(table).query("required == 'true'").index
    assert not bad_rows(frame, (frame[required] != "").all(axis=1))


@pytest.mark.parametrize(("table", "column"), columns_of("enum:"))
def test_enumerated_cells_are_legal(table, column):
    legal = set(book(table).at[column, "type"].removeprefix("enum:").split("|"))
    legal |= {""} if book(table).at[column, "required"] == "false" else set()
    frame = read(table)
    assert not bad_rows(frame, frame[column].isin(legal))


@pytest.mark.parametrize(("table", "column"), columns_of("int") + columns_of("float"))
def test_numbers_are_finite_and_not_negative(table, column):
    cells = read(table)[column]
    value = cells[cells != ""].astype(float)
    most = 1e15 if table == "claim_inputs" else 1e12  # tokens of a training run, tokens of a day
    assert ((value >= 0) & (value < most)).all()
    if book(table).at[column, "type"] == "int":
        assert (value == value.round()).all()


@pytest.mark.parametrize(("table", "column"), columns_of("date"))
def test_dates_parse(table, column):
    for cell in set(read(table)[column]) - {""}:
        assert DATE.fullmatch(cell), cell
        assert 2015 <= pd.Period(cell).year <= 2030, cell


# ---- provenance


@pytest.mark.parametrize("table", [table for table in TABLES if table not in OWN_PROVENANCE])
def test_every_row_says_whence_and_how(table):
    frame = read(table)
    assert set(frame["basis"]) <= BASES
    assert (frame[SOURCE_COLUMN.get(table, "source")] != "").all()
    date = DATE_COLUMN.get(table, "as_of")
    launch = frame["note"].eq("Price at launch.") if table == "api_price_history" else False
    assert not bad_rows(frame, frame[date].ne("") | launch)


@pytest.mark.parametrize("table", LONG)
def test_every_value_has_a_unit(table):
    assert (read(table)[["value", "unit"]] != "").all(axis=None)


@pytest.mark.parametrize("table", [table for table in TABLES if table not in LONG and table not in OWN_PROVENANCE])
def test_every_number_of_a_wide_table_has_a_unit_in_the_codebook(table):
    described = book(table)
    number = described["type"].isin(["int", "float"])
    assert (described.loc[number, "unit"] != "").all()


@pytest.mark.parametrize("table", with_column("low"))
def test_ranges_hold_their_value(table):
    frame = read(table)
    frame = frame[frame["words"] == ""] if "words" in frame else frame  # the others are words, not numbers
    value = frame[["low", "value", "high"]].replace("", None).astype(float)
    inside = ~(value["low"] > value["value"]) & ~(value["value"] > value["high"])
    bounded = value[["low", "high"]].notna().all(axis=1) | (frame["basis"] != "assumed")
    assert not bad_rows(frame, inside & bounded)


def test_assumed_rows_stand_where_a_range_can_be_given():
    without_range = [table for table in with_column("basis") if "low" not in read(table) and table != "engines"]
    assert not [table for table in without_range if "assumed" in set(read(table)["basis"])]


@pytest.mark.parametrize("table", with_column("source"))
def test_sources_exist(table):
    assert not set(read(table)["source"]) - set(read("sources")["id"])


def test_every_source_is_used():
    used = {key for table in with_column("source") for key in read(table)["source"]} | set(
        read("measurements")["source_id"]
    )
    assert not set(read("sources")["id"]) - used


def test_sources_have_an_address():
    frame = read("sources")
    own = frame["id"].isin(["assumption", "calibration"])
    assert not bad_rows(frame, frame["url"].str.match(r"https?://[^ ]+\.[^ ]+") | own)
    assert frame.loc[~own & ~frame["id"].str.startswith("peer-"), "url"].is_unique


# ---- keys between tables


@pytest.mark.parametrize("table", with_column("accelerator_id"))
def test_accelerators_resolve(table):
    assert not set(read(table)["accelerator_id"]) - set(read("accelerators")["id"]) - {""}


def test_open_models_resolve():
    sold = set(read("api_prices").query("kind == 'open'")["model_id"])
    assert sold - set(read("models")["id"]) == OPEN_WITHOUT_DIMENSIONS


def test_formats_of_precisions_resolve():
    frame = read("precisions")
    named = pd.concat([frame[name] for name in ("dense_format", "head_format", "cache_format")])
    assert not set(named) - set(frame["id"])


def test_native_formats_of_models_resolve():
    frame = read("models")
    named = set(frame["native_weights"]) | set(frame["native_expert_weights"]) - {""}
    assert not named - set(read("precisions")["id"])


# ---- prices


@pytest.mark.parametrize("table", ["gpu_prices", "gpu_price_history"])
def test_accelerator_prices_are_positive_and_near_their_median(table):
    frame, value = read(table), numbers(table, ["value"])["value"]
    ratio = value / value.groupby(frame["accelerator_id"]).transform("median")
    assert not bad_rows(frame, (value > 0) & ratio.between(1 / MAX_PRICE_SPREAD, MAX_PRICE_SPREAD))


@pytest.mark.parametrize("table", ["api_prices", "api_price_history"])
@pytest.mark.parametrize("column", ["input_usd_per_mtok", "output_usd_per_mtok", "cached_input_usd_per_mtok"])
def test_token_prices_are_positive_and_in_the_right_unit(table, column):
    frame, value = read(table), numbers(table, [column])[column]
    assert not bad_rows(frame, value.isna() | value.between(0.001, 1000))


def test_token_prices_of_a_model_agree():
    frame, value = read("api_prices"), numbers("api_prices", ["input_usd_per_mtok", "output_usd_per_mtok"])
    ratio = value / value.groupby(frame["model_id"]).transform("median")
    spread = 2 * MAX_PRICE_SPREAD  # routes, regions and fast variants of one model differ more than hosts do
    assert not bad_rows(frame, ((ratio > 1 / spread) & (ratio < spread)).all(axis=1))


def test_cached_input_costs_no_more_than_input():
    frame, value = read("api_prices"), numbers("api_prices", ["input_usd_per_mtok", "cached_input_usd_per_mtok"])
    assert not bad_rows(frame, ~(value["cached_input_usd_per_mtok"] > value["input_usd_per_mtok"]))


def test_spot_of_aws_is_derived():
    rows = read("gpu_prices").query("provider == 'AWS' and commitment == 'spot'")
    assert len(rows) and set(rows["basis"]) == {"derived"}


# ---- accelerators


@pytest.mark.parametrize(("fine", "coarse", "step"), [("fp8", "bf16", 2), ("int8", "fp16", 4), ("fp4", "fp8", 4)])
def test_peaks_are_dense(fine, coarse, step):
    """A sparse figure among dense ones doubles the step from one format to the next."""
    frame = read("accelerators")
    peak = numbers("accelerators", [f"peak_tflops_{name}" for name in (fine, coarse)])
    assert not bad_rows(frame, ~(peak.iloc[:, 0] > 1.05 * step * peak.iloc[:, 1]))


def test_sixteen_bit_formats_run_alike():
    frame, peak = read("accelerators"), numbers("accelerators", ["peak_tflops_bf16", "peak_tflops_fp16"])
    graphics = frame["device_class"] == "gpu"
    known = peak.notna().all(axis=1) & graphics
    assert not bad_rows(frame, ~known | (peak["peak_tflops_bf16"] == peak["peak_tflops_fp16"]))


def test_links_and_domains_agree():
    frame = read("accelerators")
    linked = frame["link_kind"] != "none"
    alone = (frame["link_domain"] == "1") & (frame["link_gb_s"] == "")
    assert not bad_rows(frame, linked | alone)


def test_pcie_rates_follow_from_the_label():
    frame = read("accelerators")
    rate = frame["pcie"].map({"Gen3 x16": "32", "Gen4 x16": "64", "Gen5 x16": "128", "Gen6 x16": "256"}).fillna("")
    assert not bad_rows(frame, frame["pcie_gb_s"] == rate)


# ---- models


@pytest.mark.parametrize("model_id", tables.ids("models"))
def test_parameters_follow_from_the_dimensions(model_id):
    row, model = read("models").set_index("id").loc[model_id], tables.model(model_id)
    assert sum(parameters(model).values()) / 1e9 == pytest.approx(float(row["params_total_b"]), rel=0.002)
    assert sum(active_parameters(model).values()) / 1e9 == pytest.approx(float(row["params_active_b"]), rel=0.002)


def off_headline(computed: str, published: str) -> set[str]:
    value = numbers("models", [computed, published])
    error = (value[computed] / value[published] - 1).abs()
    return set(read("models").loc[error > MAX_PARAMETER_ERROR, "id"])


def test_parameters_agree_with_the_publisher():
    assert off_headline("params_total_b", "params_published_b") == ROUNDED_HEADLINE


def test_active_parameters_agree_with_the_publisher():
    assert off_headline("params_active_b", "params_published_active_b") == ROUNDED_ACTIVE


def test_heads_and_windows_are_consistent():
    frame = read("models")
    head = numbers("models", ["n_heads", "n_kv_heads", "n_layers", "n_window_layers"])
    layout = frame["attention"].isin(["mha", "mla"]) == (head["n_heads"] == head["n_kv_heads"])
    window = (head["n_window_layers"] > 0) == (frame["window_tokens"] != "")
    divides = (head["n_heads"] % head["n_kv_heads"] == 0) & (head["n_window_layers"] <= head["n_layers"])
    assert not bad_rows(frame, layout & window & divides)


def test_mixtures_state_all_their_sizes():
    frame = read("models")
    sizes = ["n_experts", "n_experts_active", "n_shared_experts", "d_ff_expert", "first_dense_layers", "moe_every"]
    sizes.append("native_expert_weights")
    filled = (frame[sizes] != "").sum(axis=1)
    assert not bad_rows(frame, filled.isin([0, len(sizes)]))


# ---- nomenclature

#: Quantities of the model's results without a unit in their name, by the word under which they are explained.
EXPLAINED_AS = {"expert_width": "MoE"}


def test_nomenclature_explains_every_ending_and_every_bare_name():
    results = (Step, Serving, Capacity, Counts, Pools, UnitCost)
    names = {field.name for kind in results for field in dataclasses.fields(kind)}
    bare = {name for name in names if not name.endswith(tuple(SUFFIXES)) and not name.startswith("n_")}
    terms = set(read("nomenclature")["term"])
    assert not (set(SUFFIXES) | {"n_"} | {EXPLAINED_AS.get(name, name) for name in bare}) - terms


def test_nomenclature_says_where():
    places = read("nomenclature")["defined_in"]
    root = DATA.parent
    files = [root / f"{place}.md" if "/" in place else root / "lib" / f"{place.replace('.', '/')}.py" for place in places]
    assert not [path.name for path in files if not path.is_file()]
    assert read("nomenclature")["term"].str.lower().is_unique
