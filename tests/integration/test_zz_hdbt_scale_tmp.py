import time
from tests.integration.test_reconciliation_dbt import *
from tests.integration.test_reconciliation_dbt import _uri


def test_scale(world, monkeypatch, capsys):
    a = world.admin
    for n in range(50):
        world.job(f"mdm__x__job{n}")
    a.execute("""insert into ledger.comparison (job_id, run_key, depth, is_scheduled, manifest_hash, state, source_rows,target_rows,identical_rows,mismatched_rows,missing_in_target_rows,missing_in_source_rows,duplicate_rows,excused_rows,raw_match_ratio,match_ratio,severity,verdict,source_as_of,ended_at)
    select 'mdm__x__job'||j,'r','checksums',true,'0','done',1000,1000,1000-m,m,0,0,0,0,(1000-m)/1000.0,(1000-m)/1000.0,case when m>0 then 'low' end,case when m>0 then 'mismatched' else 'matched' end,at,at
    from generate_series(0,49) j, lateral (select now()-make_interval(days=>d) as at, (d%97=0)::int as m from generate_series(0,729) d) x""")
    a.execute(
        """insert into ledger.batch (job_id, run_key, mode, state, epoch, manifest_version, manifest_hash, verdict, source_as_of) select 'mdm__x__job'||j,'r','full','abandoned',1,'1','0','unverified',now() from generate_series(0,49) j, generate_series(1,8000)"""
    )
    a.execute(
        "insert into ledger.result (batch_id, control, verdict, mismatch_ratio, evidence, judged_at) select batch_id,'SYNC-005','matched',0,'{}', now()-make_interval(hours=>(batch_id%8000)::int) from ledger.batch"
    )
    a.execute("analyze")
    now = datetime.now(UTC)
    for turn in range(2):
        for m in ("stg_ledger__batch",) + MODELS:
            t = time.monotonic()
            r = world.build(now, "--select", m)
            assert r.success, messages(r)
            print(turn, m, round(time.monotonic() - t, 1))
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", _uri(world))
    t = time.monotonic()
    said_by(monkeypatch, capsys, "trend")
    e = time.monotonic() - t
    print("cli", e)
    print(said_by(monkeypatch, capsys, "trend", "mdm__x__job7"))
    with open("/tmp/hdbt/out.txt", "w") as f:
        f.write(str(e) + capsys.readouterr().out)
