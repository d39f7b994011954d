"""What the serializer of results cannot take is left to it, and it fails the task."""

import dataclasses

from reference_impl import backend
from reference_impl.returned import Form, form_of


def apply() -> None:
    def given_up(value: object) -> Form:
        form = form_of(value)
        return dataclasses.replace(form, left_out=("result: object",)) if form.left_out else form

    backend.form_of = given_up
