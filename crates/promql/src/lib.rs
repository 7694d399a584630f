//! PromQL: parser, plan, passes, operators, functions; data only through storage
