// `qanat valve`, `qanat placeholder`: remote cards of a gateway: what is open and what it costs, plans, dispatches, the
// bill of card time, and the rights behind them.
#pragma once

namespace qanat::cli {

// argv[0] is "valve" or "placeholder". Return the exit status.
int valve_main(int argc, char** argv);
int placeholder_main(int argc, char** argv);

}  // namespace qanat::cli
