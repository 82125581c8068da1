"""Celery: quorum queues, confirms, late acknowledgement, results ignored."""

from celery import Celery
from kombu import Queue

from bench.peers import job

QUEUES = ("celery.1", "celery.2", "celery.3", "celery.done")

app = Celery("peers", broker=job.URL)
app.conf.update(
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    task_ignore_result=True,
    task_queues=[Queue(name, queue_arguments={"x-queue-type": "quorum"}) for name in QUEUES],
    task_default_queue=QUEUES[0],
    task_default_queue_type="quorum",
    worker_detect_quorum_queues=True,
    worker_prefetch_multiplier=50,
    worker_hijack_root_logger=False,
    broker_pool_limit=16,
)


@app.task(name="done")
def done(order: job.Order) -> None:
    """Received by the driver."""


@app.task(name="welcome")
def welcome(order: job.Order) -> None:
    job.welcome(order)
    done.apply_async((order,), queue="celery.done")


@app.task(name="install")
def install(order: job.Order) -> None:
    job.install(order)
    welcome.apply_async((order,), queue="celery.3")


@app.task(name="accept")
def accept(order: job.Order) -> None:
    job.accept(order)
    install.apply_async((order,), queue="celery.2")
