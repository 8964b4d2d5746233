// Every launcher of the CUDA kernels against its definition: a line of JSON per case; exit status 1
// if a result is wrong.
#include "cases.h"

int main() {
  driver::elements();
  driver::statistics();
  driver::filters();
  driver::convolutions();
  return driver::all_right ? 0 : 1;
}
