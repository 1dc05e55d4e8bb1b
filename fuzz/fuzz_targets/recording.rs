//! The reader of recordings: arbitrary bytes as the file, then as the lines in it. What can be read is asked everything
//! that a look asks of a kernel.
#![no_main]

use closewait_doctor::collect::kernel::{Kernel, RecordedKernel};
use closewait_doctor::collect::proc;
use closewait_doctor::collect::sock_diag::{self, Wanted};
use closewait_doctor::model::InodeSet;
use closewait_doctor_fuzz::pack;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    drop(RecordedKernel::read_from(bytes));
    if let Ok(mut kernel) = RecordedKernel::read_from(&pack(bytes)[..]) {
        ask_everything(&mut kernel);
    }
});

fn ask_everything(kernel: &mut dyn Kernel) {
    let empty = InodeSet::default();
    kernel.host();
    let _ = kernel.elapsed();
    let _ = sock_diag::read_listeners(kernel, &[]);
    for wanted in [Wanted::CloseWait, Wanted::Unaccepted, Wanted::Open] {
        let _ = sock_diag::read_connections(kernel, wanted, &[], &empty);
        let _ = proc::read_net_tcp(kernel, wanted, &empty);
    }
    let _ = proc::read_dropped_counters(kernel);
    let _ = kernel.hidden_descriptors(&empty);
    let _ = kernel.unlisted_sockets(Some(&empty));
    let _ = sock_diag::read_inodes(kernel);
    let _ = proc::read_unlisted_tcp_sockets(kernel);
    let Ok(tables) = kernel.descriptor_tables(&empty) else {
        return;
    };
    for table in &tables.tables {
        proc::read_process(kernel, table.pid);
        proc::examine_process(kernel, table, "");
        proc::sample_thread(kernel, table.pid, table.pid, false);
        proc::read_descriptor(kernel, table.pid, 0);
    }
}
