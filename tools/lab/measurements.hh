// Measured networks, read where the project's data lie: Skyplane's cloud regions and PlanetLab's matrices.
// What `lab generate` takes its delays and rates from.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace qanat::lab {

// Between two regions in one direction, at a network tier of both ends.
struct RegionPair {
  std::optional<double> rtt_ms;  // the mean of what was measured
  std::optional<double> bits_per_second;
};

// Skyplane: latency.csv.gz and throughput.csv.gz of a folder.
class CloudRegions {
 public:
  // Throws std::runtime_error that names the file.
  explicit CloudRegions(const std::string& folder);
  // "aws:eu-west-3", sorted.
  std::vector<std::string> regions() const;
  bool has(const std::string& region) const;
  // With `standard`, figures of the STANDARD tier where an end has one that was measured, else of PREMIUM.
  RegionPair pair(const std::string& from, const std::string& to, bool standard) const;

 private:
  std::map<std::string, RegionPair> pairs_;  // "from tier to tier"
};

// PlanetLab: a square matrix of round-trip times in ms, tab-separated. Throws std::runtime_error.
std::vector<std::vector<double>> read_rtt_matrix(const std::string& file);

}  // namespace qanat::lab
