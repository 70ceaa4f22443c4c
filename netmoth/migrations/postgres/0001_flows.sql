-- One row per part of a connection. Partitions (flows_YYYYMMDD, UTC) are made by the writer before rows need them;
-- there is no default partition, because one row in it would block the partition of its day.
CREATE TABLE flows (
    sensor            text        NOT NULL,
    flow_id           bigint      NOT NULL,
    part              int         NOT NULL,
    start_time        timestamptz NOT NULL,
    end_time          timestamptz NOT NULL,
    src_ip            inet        NOT NULL,
    src_port          int         NOT NULL,
    dst_ip            inet        NOT NULL,
    dst_port          int         NOT NULL,
    proto             smallint    NOT NULL,
    vlan_id           smallint,
    inner_vlan_id     smallint,
    tunnel            text,
    tunnel_id         bigint,
    src_packets       bigint      NOT NULL,
    dst_packets       bigint      NOT NULL,
    src_bytes         bigint      NOT NULL,
    dst_bytes         bigint      NOT NULL,
    src_payload_bytes bigint      NOT NULL,
    dst_payload_bytes bigint      NOT NULL,
    src_tcp_flags     smallint    NOT NULL,
    dst_tcp_flags     smallint    NOT NULL,
    conn_state        text        NOT NULL,
    history           text        NOT NULL,
    tcp_rtt_us        int,
    src_retransmits   int         NOT NULL,
    dst_retransmits   int         NOT NULL,
    community_id      text        NOT NULL,
    end_reason        text        NOT NULL
) PARTITION BY RANGE (start_time);

CREATE INDEX flows_start_time ON flows USING brin (start_time);

-- What has been committed: a batch whose fate is unknown is looked up here before it is sent again.
CREATE TABLE batches (
    sensor     text        NOT NULL,
    run        bigint      NOT NULL,
    seq        bigint      NOT NULL,
    records    int         NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sensor, run, seq)
);
