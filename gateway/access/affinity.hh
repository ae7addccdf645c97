// Affinity: which backend a client's flows go to: always the same one while it lives (highest random weight, Thaler
// and Ravishankar 1998), so that one that dies moves its own clients only, and one that returns gets them back.
// Sans-I/O.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hh"

namespace qanat::access {

class Affinity {
 public:
  // After a failure a backend is asked last for so long.
  static constexpr base::Duration kDownFor = std::chrono::seconds{5};

  // The backends in the order to try for this client: those that failed lately come last.
  std::vector<std::string> order(std::string_view client, const std::vector<std::string>& backends,
                                 base::Time now) const;
  void failed(const std::string& backend, base::Time now) { down_[backend] = now + kDownFor; }
  void answered(const std::string& backend) { down_.erase(backend); }
  // A backend that is gone from every service is forgotten here.
  void keep_only(const std::vector<std::string>& backends);

 private:
  std::map<std::string, base::Time, std::less<>> down_;
};

}  // namespace qanat::access
