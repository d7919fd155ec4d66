"""Settings of a method that cannot be with these data and batches, for `MethodConfig.misfits`."""


def too_short(queue_size: int | None, batch_size: int) -> list[str]:
    """A misfit of `queue_size`: rows that are pushed and never looked at."""
    if queue_size is None or queue_size >= batch_size:
        return []
    return [f"method.queue_size: want at least {batch_size} (train.batch_size), got {queue_size}"]


def too_many(prototypes: int | None, images: int) -> list[str]:
    """A misfit of `prototypes`: some would have no image."""
    if prototypes is None or prototypes <= images:
        return []
    return [f"method.prototypes: want at most {images} (the training images), got {prototypes}"]
