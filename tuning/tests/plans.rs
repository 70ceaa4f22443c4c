//! Plans for cards that are not here, from states like those that their drivers report. The states are made up: their numbers
//! come from no machine.

use tuning::plan::{Plan, Wishes, plan};
use tuning::setting::{Setting, Value};
use tuning::state::State;

fn planned(state: &str, workers: u32, busy_poll: bool) -> Plan {
    let state: State = serde_json::from_str(state).unwrap();
    plan(&state, Wishes { workers, busy_poll })
}

/// The steps that are due, and those that can't be done, in words.
fn words(plan: &Plan) -> (Vec<String>, Vec<String>) {
    let due = plan.steps.iter().filter(|step| step.is_due());
    let refused = plan.steps.iter().filter(|step| step.unsupported.is_some());
    (
        due.map(|step| format!("{}: {}", step.setting, step.wanted.as_ref().unwrap())).collect(),
        refused.map(|step| format!("{}: {}", step.setting, step.unsupported.as_ref().unwrap())).collect(),
    )
}

const NEAR: [&str; 2] = ["/proc/irq/100/smp_affinity_list: 2", "/proc/irq/101/smp_affinity_list: 3"];

#[test]
fn i40e_gets_a_symmetric_key_before_it_gets_fewer_queues() {
    let (due, refused) = words(&planned(include_str!("states/i40e.json"), 2, false));
    let expected = ["rss: key 6d5a6d5a… over 2 queues", "channels: 0/0/1/2", "rings: rx 8160 tx 512"];
    let fields = ["rx-flow-hash udp4: sd", "rx-flow-hash udp6: sd"];
    let offloads = ["rx-gro: off", "rx-vlan-hw-parse: off"];
    let expected = expected.map(|text| {
        text.replace("channels: 0/0/1/2", "channels: combined 2").replace("rx 8160 tx 512", "8160/0/0/512")
    });
    let [rss, channels, rings] = expected;
    let all: Vec<String> = [rss, channels]
        .into_iter()
        .chain(fields.map(Into::into))
        .chain([rings])
        .chain(offloads.map(Into::into))
        .chain(NEAR.map(Into::into))
        .collect();
    assert_eq!((due, refused), (all, vec![]));
}

#[test]
fn ice_gets_symmetric_xor_and_keeps_udp_over_addresses_alone() {
    let plan = planned(include_str!("states/ice.json"), 4, false);
    let (due, refused) = words(&plan);
    assert!(due[0].ends_with("over 4 queues symmetric-xor") && due[1] == "channels: combined 4", "{due:?}");
    assert!(!due.iter().any(|step| step.starts_with("rx-flow-hash")), "{due:?}");
    assert_eq!(refused, Vec::<String>::new());
}

#[test]
fn mlx5_gets_more_queues_first_and_loses_lro() {
    let (due, refused) = words(&planned(include_str!("states/mlx5_core.json"), 4, true));
    assert_eq!(due[..2], ["channels: combined 4", "rss: key 6d5a6d5a… over 4 queues"]);
    assert!(due.contains(&"rx-lro: off".into()) && !due.iter().any(|step| step.starts_with("rx-gro-hw")), "{due:?}");
    assert_eq!(
        due[due.len() - 2..],
        ["/sys/class/net/eth1/napi_defer_hard_irqs: 2", "/sys/class/net/eth1/gro_flush_timeout: 200000"]
    );
    assert_eq!(refused, Vec::<String>::new());
}

#[test]
fn ena_keeps_the_queues_that_it_has() {
    let plan = planned(include_str!("states/ena.json"), 8, false);
    let (due, refused) = words(&plan);
    let fields = ["rx-flow-hash udp4: sd", "rx-flow-hash udp6: sd"];
    assert_eq!(due[..4], ["rss: key 6d5a6d5a… over 2 queues", fields[0], fields[1], "rings: 8192/0/0/1024"]);
    assert!(plan.steps[0].why.contains("as many queues as the device has (2)"));
    // Eight workers on eight CPUs leave none for interrupts.
    assert!(refused.iter().all(|step| step.contains("each of the 8 CPUs has a worker")) && refused.len() == 2);
}

#[test]
fn virtio_says_what_it_does_not_have() {
    let (due, refused) = words(&planned(include_str!("states/virtio_net.json"), 1, false));
    assert_eq!(due, ["rx-gro: off", "/proc/irq/100/smp_affinity_list: 1"]);
    let missing = |name: &str| format!("{name}: driver virtio_net has no such setting");
    let expected = [missing("rss"), missing("rx-flow-hash udp4"), missing("rx-flow-hash udp6")];
    assert_eq!(refused[..3], expected);
    assert_eq!(refused[3..], ["rx-gro-hw: driver virtio_net has it fixed"]);
}

#[test]
fn what_is_done_already_is_no_step() {
    let mut state: State = serde_json::from_str(include_str!("states/mlx5_core.json")).unwrap();
    let wishes = Wishes { workers: 4, busy_poll: true };
    for step in plan(&state, wishes).steps.into_iter().filter(|step| step.is_due()) {
        let place = state.values.iter_mut().find(|(setting, _)| *setting == step.setting).unwrap();
        place.1 = step.wanted.unwrap();
    }
    assert_eq!(words(&plan(&state, wishes)).0, Vec::<String>::new());
    assert_eq!(state.value(&Setting::Channels), Some(&Value::Counts([0, 0, 0, 4])));
}
