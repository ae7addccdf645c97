// The main job, on a lab that is up: a tenant replays a production trace, calls overflow to far pools, the link
// under the best path is cut and restored, a 1 ms flow measures the outage, the ledger is compared with the client.
#pragma once

#include <functional>
#include <string>

#include "tools/lab/job_result.hh"
#include "tools/lab/state.hh"
#include "tools/lab/topology.hh"

namespace qanat::lab {

struct MainJobOptions {
  std::string trace;  // AzureLLMInferenceTrace_conv.csv.gz
  std::string model = "c-url://any/infer/deepseek-r1-distill-qwen-32b?tier=interactive";
  int requests = 300;
  double compress = 1.4;                                  // the trace's 84 s of 300 requests become 60 s
  int max_tokens = 500;                                   // a longer answer would only prolong the run
  std::function<void(const std::string&)> progress;       // a line that stays
  std::function<void(const std::string&)> live_progress;  // a line that the next one replaces
};

// `state` gains the replay's process. Throws LabError or std::system_error.
JobResult run_main_job(const Topology& topology, LabState& state, const MainJobOptions& options);

}  // namespace qanat::lab
