// Any bytes, cut anywhere: the same events as in one piece, within the bounds.
#include <cstdlib>

#include "base/sse.hh"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace qanat::base;
  if (size == 0) return 0;
  const std::string_view text{reinterpret_cast<const char*>(data + 1), size - 1};
  const std::size_t piece = data[0] % 16 + 1;
  std::vector<SseEvent> whole;
  std::vector<SseEvent> cut;
  SseParser one{64, 256};
  SseParser many{64, 256};
  const bool fine = one.feed(text, whole).has_value();
  bool still = true;
  for (std::size_t i = 0; i < text.size() && still; i += piece)
    still = many.feed(text.substr(i, piece), cut).has_value();
  if (fine != still || whole.size() != cut.size()) std::abort();
  for (std::size_t i = 0; i < whole.size(); ++i) {
    if (whole[i].data != cut[i].data || whole[i].name != cut[i].name || whole[i].id != cut[i].id)
      std::abort();
    if (whole[i].data.size() > 256) std::abort();
  }
  return 0;
}
