// EtcdWatch: a standby's ear: what changes under a prefix, as it changes, on the daemon's own io_context.
// It listens to all of etcd's members at once: one that is cut off from the others keeps its connections, and is silent.
// Each is connected again after silence or an error, and goes on where the news stand.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "controller/store/etcd_client.hh"

namespace boost::asio {
class io_context;
}

namespace qanat::store {

class EtcdWatch {
 public:
  // A connection without news is replaced after this long: the other side may be gone.
  static constexpr base::Duration kSilence = std::chrono::seconds(5);

  EtcdWatch(boost::asio::io_context& io, EtcdConfig config, std::string prefix);
  ~EtcdWatch();
  // From `revision` on. News with `gap` says that some were missed: its reader answers with the revision that it has read
  // up to by other means; otherwise the answer is ignored.
  void start(std::int64_t revision, std::function<std::int64_t(const EtcdNews&)> on_news);
  void stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace qanat::store
