"""A run that ends makes its agent idle, by the agent's name, whoever runs it by then."""

from sqlalchemy import text

from reference_impl import agent_rows


def apply() -> None:
    by_name = agent_rows._LET_GO.replace("current_task_id = :task_id\n", "name = :name\n")
    agent_rows._END = text(f"{by_name} AND current_task_id IS NOT NULL RETURNING name")
