"""Plot the pipeline's result, read from stdin. Needs matplotlib."""

import json
import sys

import matplotlib as mpl
from matplotlib import pyplot as plt

mpl.use("agg")


def main() -> int:
    result = json.load(sys.stdin)
    titles = [title for title, _, _ in result["bars"]]
    figure, axes = plt.subplots(figsize=(9, 0.45 * len(titles) + 1.5))
    colours = ["tab:orange" if title.startswith("Sitecrew") else "tab:blue" for title in titles]
    axes.barh(titles, [rate for _, rate, _ in result["bars"]], color=colours, alpha=0.7)
    for title, rate, rounds in result["bars"]:
        axes.plot(rounds, [title] * len(rounds), "k.", markersize=4)
        axes.annotate(f" {rate:.0f}", (max([rate, *rounds]), title), va="center")
    axes.set_xscale("log")
    axes.set_xlabel("orders/s, median of the rounds (dots: each round), logarithmic")
    machine = result["machine"]
    axes.set_title(f"Three durable stages on {machine['cores']} cores, RabbitMQ {machine['rabbitmq']}")
    axes.margins(x=0.15)
    figure.tight_layout()
    figure.savefig(result["path"], dpi=110)
    return 0


if __name__ == "__main__":
    sys.exit(main())
