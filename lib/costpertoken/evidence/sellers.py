"""Who sells tokens of an open model, and what a request costs there, from data/api_prices.csv and data/api_terms.csv.

The price lists name one seller in several ways, list one route twice and hold some errors; here a seller is one row, with the
route that is cheapest for the request asked about.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from costpertoken import tables
from costpertoken.evidence.ownership import Prior
from costpertoken.model.records import UnknownName, check_range
from costpertoken.model.units import MTOK

#: Seller -> its names in the price lists, where they differ from its own in more than spelling.
ALIASES = {
    "Alibaba": ["alibaba"],
    "Amazon Bedrock": ["amazon-bedrock", "bedrock", "bedrock_converse"],
    "Azure": ["azure", "azure_ai"],
    "DeepInfra": ["deepinfra"],
    "DeepSeek": ["deepseek"],
    "DigitalOcean": ["digitalocean", "gradient_ai"],
    "Fireworks": ["fireworks-ai", "fireworks_ai"],
    "Google Vertex": ["google-vertex", "vertex_ai-deepseek_models", "vertex_ai-llama_models", "vertex_ai-openai_models",
                      "vertex_ai-qwen_models"],
    "HPC-AI": ["hpc-ai"],
    "IO.net": ["io-net"],
    "Lambda": ["lambda_ai"],
    "Moonshot": ["moonshot", "moonshotai"],
    "Novita": ["novita", "novita-ai"],
    "OVHcloud": ["ovhcloud"],
    "SambaNova": ["sambanova"],
    "SiliconFlow": ["siliconflow"],
    "Together": ["together_ai", "togetherai"],
    "W&B": ["wandb"],
    "Z.ai": ["zai"],
    "xAI": ["xai"],
}  # fmt: skip
NAMES = {alias: seller for seller, aliases in ALIASES.items() for alias in aliases}
#: Not sellers, or rows that cannot be believed: a marketplace that shows another seller's price; a list with one price for
#: models of 8 and of 405 billion parameters; default prices of another size; another model's name on this one's row.
NO_SELLER = ("openrouter (list price)", "openrouter (listing price)", "hyperbolic")
NOT_BELIEVED = (
    "fireworks_ai/accounts/fireworks/models/llama-v2-70b",
    "fireworks_ai/accounts/fireworks/models/llama-v3p1-405b-instruct-long",
    "fireworks_ai/accounts/fireworks/models/llama-v3p1-70b-instruct-1b",
    "lambda_ai/deepseek-llama3.3-70b",
)
BATCH, ANY = "batch-discount", "any"


def seller(provider: str) -> str:
    """The seller behind a name of the price lists."""
    return NAMES.get(provider, provider.replace("_", " ").title())


def routes(model_id: str) -> pd.DataFrame:
    """Every believable route to a model: seller, route, input, output and cached (USD per million tokens; cached as input where
    no price of it is listed), source, as_of."""
    return _routes(tables.data_dir(), model_id).copy()


@cache
def _routes(folder: Path, model_id: str) -> pd.DataFrame:
    sold = tables.read("api_prices").query("kind == 'open'")
    rows = sold[sold["model_id"] == model_id]
    if rows.empty:
        known = sorted(set(sold["model_id"]))
        raise UnknownName(f"nobody on record sells {model_id!r}; nearest: {tables.nearest(model_id, known)}")
    kept = ~rows["provider"].isin(NO_SELLER) & ~rows["provider_model_key"].isin(NOT_BELIEVED)
    rows = rows[kept]
    fresh = rows["input_usd_per_mtok"]
    return pd.DataFrame(
        {
            "seller": rows["provider"].map(seller),
            "route": rows["provider_model_key"],
            "input": fresh,
            "output": rows["output_usd_per_mtok"],
            "cached": rows["cached_input_usd_per_mtok"].fillna(fresh),
            "source": rows["source"],
            "as_of": rows["as_of"],
        }
    ).reset_index(drop=True)


def term(name: str, wanted: str = BATCH) -> Prior:
    """A term of a seller, with its range: its own row of data/api_terms.csv, else the one for any; nothing where neither is."""
    rows = tables.read("api_terms").query("term == @wanted").set_index("provider")
    found = next((rows.loc[one] for one in (name, ANY) if one in rows.index), None)
    if found is None:
        return Prior(0.0, 0.0, 0.0)
    return Prior(found["value"], *(found["value"] if pd.isna(found[end]) else found[end] for end in ("low", "high")))


def usd_per_request(
    offers: pd.DataFrame, *, input_tokens, output_tokens, cached_share=0.0, batch_share=0.0, discount=0.0
):
    """USD of one request at each offer; batch_share of the requests can wait a day and get `discount` off (a number or one an
    offer)."""
    check_range("cached_share", cached_share, high=1.0)
    check_range("batch_share", batch_share, high=1.0)
    prompt = (1.0 - cached_share) * offers["input"] + cached_share * offers["cached"]
    usd = (input_tokens * prompt + output_tokens * offers["output"]) / MTOK
    return usd * (1.0 - batch_share * discount)


def bills(model_id: str, *, input_tokens, output_tokens, cached_share=0.0, batch_share=0.0) -> pd.DataFrame:
    """One row a seller, cheapest first: its cheapest route for this request, with usd_per_request, batched_usd_per_request (all
    of it at its batch discount) and usd_per_mtok, the whole bill on the output tokens."""
    load = {"input_tokens": input_tokens, "output_tokens": output_tokens, "cached_share": cached_share}
    offers = routes(model_id)
    offers["discount"] = offers["seller"].map(lambda name: term(name).value)
    offers["usd_per_request"] = usd_per_request(offers, **load, batch_share=batch_share, discount=offers["discount"])
    offers["batched_usd_per_request"] = usd_per_request(offers, **load, batch_share=1.0, discount=offers["discount"])
    offers["usd_per_mtok"] = offers["usd_per_request"] / output_tokens * MTOK
    best = offers.sort_values(["usd_per_request", "as_of"], kind="stable").drop_duplicates("seller")
    return best.reset_index(drop=True)


def price_of(model_id: str, which: str, *, input_tokens, output_tokens, cached_share=0.0) -> float:
    """USD per million output tokens, whole bill, of "cheapest", "median" or "dearest" seller, or of a seller by name (NaN where
    it does not sell the model)."""
    names, lists, first = _listed(tables.data_dir(), model_id)
    each = (
        lists
        @ np.array([1.0 - cached_share, cached_share, output_tokens / input_tokens])
        * input_tokens
        / output_tokens
    )
    best = np.minimum.reduceat(each, first)
    ranks = {"cheapest": np.min, "median": np.median, "dearest": np.max}
    if which in ranks:
        return float(ranks[which](best))
    return float(best[names.index(which)]) if which in names else np.nan


@cache
def _listed(folder: Path, model_id: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Sellers by name; their routes' fresh, cached and output prices, seller by seller; where each seller begins."""
    rows = routes(model_id).sort_values("seller", kind="stable")
    names, first = np.unique(rows["seller"].to_numpy(dtype=str), return_index=True)
    return names.tolist(), rows[["input", "cached", "output"]].to_numpy(dtype=float), first
