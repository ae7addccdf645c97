// `qanat lab generate skyplane|planetlab`: a topology from measured data, printed for people to edit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/lab/generate.hh"

namespace qanat::lab {

struct GenerateRequest {
  bool planetlab = false, list = false;
  std::string data = "../shared/data";
  std::vector<std::string> regions;  // skyplane
  int slice = 1;                     // planetlab: which of the four matrices
  std::vector<std::size_t> hosts;    // planetlab: rows; empty: `count` of them by the seed
  std::size_t count = 6;
  double rate_mbit = 100;  // where nothing was measured
  GenerateOptions options;
};

int generate(const GenerateRequest& request);

}  // namespace qanat::lab
