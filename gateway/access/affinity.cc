#include "gateway/access/affinity.hh"

#include <algorithm>
#include <cstdint>

namespace qanat::access {
namespace {

// FNV-1a, then a finaliser: the same everywhere and after every restart.
std::uint64_t weight(std::string_view client, std::string_view backend) {
  std::uint64_t h = 0xcbf29ce484222325ULL;
  for (std::string_view part : {client, std::string_view("\0", 1), backend})
    for (char c : part) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL;
  return h ^ (h >> 31);
}

}  // namespace

std::vector<std::string> Affinity::order(std::string_view client, const std::vector<std::string>& backends,
                                         base::Time now) const {
  const auto down = [&](const std::string& backend) {
    const auto it = down_.find(backend);
    return it != down_.end() && now < it->second;
  };
  std::vector<std::string> order = backends;
  std::sort(order.begin(), order.end(), [&](const std::string& a, const std::string& b) {
    const bool a_down = down(a), b_down = down(b);
    if (a_down != b_down) return b_down;
    return weight(client, a) > weight(client, b);
  });
  return order;
}

void Affinity::keep_only(const std::vector<std::string>& backends) {
  std::erase_if(down_, [&](const auto& entry) {
    return std::find(backends.begin(), backends.end(), entry.first) == backends.end();
  });
}

}  // namespace qanat::access
