"""What a user names, as records: a deployment by the ids of its model, accelerator and formats, and a headline price."""

from costpertoken.model.records import Deployment, Price
from costpertoken.tables.constants import efficiency
from costpertoken.tables.prices import price, price_rows
from costpertoken.tables.records import accelerator, model, native_precision, precision

#: Engine whose constants are used where none is named.
ENGINE = "vllm"
#: Where a headline price is looked for first: one class at a time, never a median over all of them.
CLASSES = ("neocloud", "hyperscaler", "marketplace")


def deployment(
    model_id, accelerator_id, *, weights=None, activations=None, cache=None, tp=1, pp=1, dp=1, ep=1, engine=ENGINE
) -> Deployment:
    """Deployment by names; weights default to the checkpoint's own format. engine: a family of data/calibration.csv."""
    served, machine = model(model_id), accelerator(accelerator_id)
    formats = precision(weights or native_precision(served), activations=activations, cache=cache)
    return Deployment(
        model=served,
        accelerator=machine,
        precision=formats,
        efficiency=efficiency(machine, formats, engine=engine),
        engine=engine,
        tp=tp,
        pp=pp,
        dp=dp,
        ep=ep,
    )


def headline_price(accelerator_id, *, commitment="on-demand", cloud_class=None, provider=None, region=None) -> Price:
    """Median of the offers of one cloud class: the one asked for, else the first of CLASSES that sells the accelerator."""
    if cloud_class is None and provider is None:
        offered = set(price_rows(accelerator_id, commitment=commitment)["cloud_class"])
        cloud_class = next((name for name in CLASSES if name in offered), None)
    return price(accelerator_id, commitment=commitment, cloud_class=cloud_class, provider=provider, region=region)
