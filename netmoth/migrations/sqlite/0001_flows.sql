-- One row per part of a connection. Times and addresses are text: exact to the nanosecond, readable, and sorted by time.
CREATE TABLE flows (
    sensor            TEXT    NOT NULL,
    flow_id           INTEGER NOT NULL,
    part              INTEGER NOT NULL,
    start_time        TEXT    NOT NULL,
    end_time          TEXT    NOT NULL,
    src_ip            TEXT    NOT NULL,
    src_port          INTEGER NOT NULL,
    dst_ip            TEXT    NOT NULL,
    dst_port          INTEGER NOT NULL,
    proto             INTEGER NOT NULL,
    vlan_id           INTEGER,
    inner_vlan_id     INTEGER,
    tunnel            TEXT,
    tunnel_id         INTEGER,
    src_packets       INTEGER NOT NULL,
    dst_packets       INTEGER NOT NULL,
    src_bytes         INTEGER NOT NULL,
    dst_bytes         INTEGER NOT NULL,
    src_payload_bytes INTEGER NOT NULL,
    dst_payload_bytes INTEGER NOT NULL,
    src_tcp_flags     INTEGER NOT NULL,
    dst_tcp_flags     INTEGER NOT NULL,
    conn_state        TEXT    NOT NULL,
    history           TEXT    NOT NULL,
    tcp_rtt_us        INTEGER,
    src_retransmits   INTEGER NOT NULL,
    dst_retransmits   INTEGER NOT NULL,
    community_id      TEXT    NOT NULL,
    end_reason        TEXT    NOT NULL
);

-- What has been committed: a batch whose fate is unknown is looked up here before it is written again.
CREATE TABLE batches (
    sensor     TEXT    NOT NULL,
    run        INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    records    INTEGER NOT NULL,
    PRIMARY KEY (sensor, run, seq)
) WITHOUT ROWID;
