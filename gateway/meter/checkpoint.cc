#include "gateway/meter/checkpoint.hh"

#include <algorithm>
#include <charconv>

#include "base/hex.hh"

namespace qanat::meter {
namespace {

constexpr std::string_view kTree = "qanat/", kTime = "unix_ms ";

std::string_view line_of(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

template <class Integer>
bool number_of(std::string_view text, Integer& into) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

std::string serialize(const Checkpoint& c) {
  return std::string(kTree) + c.gateway + '\n' + std::to_string(c.size) + '\n' +
         base::to_base64(c.root.bytes) + '\n' + std::string(kTime) + std::to_string(c.unix_ms) + '\n';
}

std::optional<Checkpoint> parse_checkpoint(std::string_view text) {
  Checkpoint c;
  std::string_view rest = text;
  const std::string_view tree = line_of(rest), size = line_of(rest), root = line_of(rest),
                         time = line_of(rest);
  if (!tree.starts_with(kTree) || !time.starts_with(kTime)) return std::nullopt;
  c.gateway = tree.substr(kTree.size());
  const auto bytes = base::from_base64(root);
  if (!number_of(size, c.size) || !number_of(time.substr(kTime.size()), c.unix_ms) || !bytes ||
      bytes->size() != c.root.bytes.size())
    return std::nullopt;
  std::copy(bytes->begin(), bytes->end(), c.root.bytes.begin());
  if (serialize(c) != text) return std::nullopt;
  return c;
}

std::string cosigned_text(std::string_view checkpoint, std::int64_t unix_s) {
  return "cosignature/v1\ntime " + std::to_string(unix_s) + '\n' + std::string(checkpoint);
}

}  // namespace qanat::meter
