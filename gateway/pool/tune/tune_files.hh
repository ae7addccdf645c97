// TuneFiles: what a fine-tune has of real bytes at a pool: whether its data is here and may be used, and the checkpoints
// that it writes into the pool's store. A simulated checkpoint has no weights in it: its bytes are drawn from (seed, step),
// and it is kScale times smaller than a real one.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/http_message.hh"
#include "gateway/jobs/artefact/site_store.hh"
#include "gateway/pool/tune/tune_job.hh"

namespace qanat::pool {

// What a job says of its artefacts; digests in hexadecimal, empty where there is none.
struct TuneInput {
  std::string dataset, base, checkpoint;
  std::uint64_t step = 0;  // of the checkpoint
  std::string user, use;   // who uses the data set, and the name under which that counts once
};

class TuneFiles {
 public:
  static constexpr std::uint64_t kScale = 1024;

  explicit TuneFiles(jobs::SiteStore& site) : site_(site) {}

  // All of it is complete here; the ticket is for this data set; the contract that the request shows, if it does, allows
  // it here and now, and counts it. `contract`: its id.
  boost::asio::awaitable<jobs::Result<void>> admit(const base::Headers& headers, TuneInput input,
                                                   std::string& contract);
  // Into the store; its digest.
  boost::asio::awaitable<jobs::Result<std::string>> write_checkpoint(TunePlan plan, std::uint64_t step);
  static std::uint64_t checkpoint_bytes(const TunePlan& plan);

 private:
  jobs::SiteStore& site_;
};

}  // namespace qanat::pool
