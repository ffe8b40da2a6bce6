//! The pure core that places experts on workers, schedules micro-tasks and survives lost workers.
