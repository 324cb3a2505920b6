"""Syncline keeps the copies of master data in agreement with their hub and proves it after every batch.

Layers, arrows point down only: `orchestration` (Airflow) and `__main__` (command line) call `steps`
(one function per task), steps call `adapters` (one outside thing each), all of them speak in `core`
(pure: no clock, network, database or Airflow).
"""

__version__ = "0.1.0"
