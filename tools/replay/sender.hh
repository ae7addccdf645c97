// Sender: sends planned requests at their intended times, whatever became of the earlier ones (open loop), and follows
// each stream to its end.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tools/replay/tally.hh"
#include "tools/replay/trace.hh"

namespace boost::asio {
class io_context;
}

namespace qanat::replay {

struct SenderOptions {
  std::string gateway;  // "http://127.0.0.1:8080"
  std::string key;      // bearer token; empty: none
  std::string model;    // C-URL or catalogue name
  std::uint64_t seed = 1;
  std::set<std::string> local_pools;                   // empty: the gateway is asked which pools are local
  base::Duration silence = std::chrono::seconds(120);  // a request that is silent so long has failed
};

class Sender {
 public:
  Sender(boost::asio::io_context& io, SenderOptions options, Tally& tally);
  ~Sender();

  // Asks the gateway which candidates of the model are local, unless the options say. False when it cannot be
  // reached.
  boost::asio::awaitable<bool> learn_local_pools();
  // Ends when every request has.
  boost::asio::awaitable<void> send_all(std::vector<TraceRow> requests);
  // No more requests; those under way are broken off and count as failed.
  void stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// The request's JSON body: the words of its prompt, streaming, usage on every chunk, its length stated.
std::string request_body(const std::string& model, const TraceRow& row, std::uint64_t seed);

}  // namespace qanat::replay
