#include "tools/lab/measurements.hh"

#include <zlib.h>

#include <charconv>
#include <memory>
#include <set>
#include <stdexcept>
#include <string_view>

namespace qanat::lab {
namespace {

constexpr std::size_t kMostBytes = std::size_t{1} << 28;

std::string read_gzip(const std::string& path) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file) throw std::runtime_error("cannot open " + path + "; --data DIR says where the data lie");
  std::string text;
  char block[65536];
  int n = 0;
  while ((n = gzread(file.get(), block, sizeof block)) > 0 && text.size() < kMostBytes)
    text.append(block, static_cast<std::size_t>(n));
  if (n < 0) throw std::runtime_error(path + ": damaged gzip file");
  return text;
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> out;
  for (;;) {
    const auto end = text.find(at);
    out.push_back(text.substr(0, end));
    if (out.back().ends_with('\r')) out.back().remove_suffix(1);
    if (end == std::string_view::npos) return out;
    text.remove_prefix(end + 1);
  }
}

double number(std::string_view text, const std::string& file) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size())
    throw std::runtime_error(file + ": '" + std::string(text.substr(0, 40)) + "' is not a number");
  return value;
}

std::string key(std::string_view from, std::string_view from_tier, std::string_view to,
                std::string_view to_tier) {
  std::string out;
  for (const auto part : {from, from_tier, to, to_tier}) out.append(part).push_back(' ');
  return out;
}

}  // namespace

CloudRegions::CloudRegions(const std::string& folder) {
  const auto rows = [](const std::string& file, std::size_t columns, const auto& row) {
    const std::string text = read_gzip(file);
    bool heading = true;
    for (const auto line : split(text, '\n')) {
      if (line.empty() || std::exchange(heading, false)) continue;
      const auto cells = split(line, ',');
      if (cells.size() < columns) throw std::runtime_error(file + ": a row of too few columns");
      row(cells);
    }
  };
  const std::string latency = folder + "/latency.csv.gz", throughput = folder + "/throughput.csv.gz";
  rows(latency, 8,
       [&](const auto& c) { pairs_[key(c[0], c[1], c[3], c[4])].rtt_ms = number(c[7], latency); });
  rows(throughput, 5, [&](const auto& c) {
    pairs_[key(c[0], c[1], c[2], c[3])].bits_per_second = number(c[4], throughput);
  });
}

std::vector<std::string> CloudRegions::regions() const {
  std::set<std::string> names;
  for (const auto& [name, pair] : pairs_) names.insert(name.substr(0, name.find(' ')));
  return {names.begin(), names.end()};
}

bool CloudRegions::has(const std::string& region) const {
  const auto it = pairs_.lower_bound(region + " ");
  return it != pairs_.end() && it->first.starts_with(region + " ");
}

RegionPair CloudRegions::pair(const std::string& from, const std::string& to, bool standard) const {
  RegionPair out;
  // From the wanted tiers to the ones that were surely measured.
  for (const auto& [a, b] :
       {std::pair{standard, standard}, {standard, false}, {false, standard}, {false, false}}) {
    const auto it = pairs_.find(key(from, a ? "STANDARD" : "PREMIUM", to, b ? "STANDARD" : "PREMIUM"));
    if (it == pairs_.end()) continue;
    if (!out.rtt_ms) out.rtt_ms = it->second.rtt_ms;
    if (!out.bits_per_second) out.bits_per_second = it->second.bits_per_second;
  }
  return out;
}

std::vector<std::vector<double>> read_rtt_matrix(const std::string& file) {
  const std::string text = read_gzip(file);
  std::vector<std::vector<double>> matrix;
  for (const auto line : split(text, '\n')) {
    if (line.empty()) continue;
    auto& row = matrix.emplace_back();
    for (const auto cell : split(line, '\t'))
      if (!cell.empty()) row.push_back(number(cell, file));
  }
  for (const auto& row : matrix)
    if (row.size() != matrix.size()) throw std::runtime_error(file + ": not a square matrix");
  return matrix;
}

}  // namespace qanat::lab
