#pragma once

#include <pybind11/pybind11.h>

void bind_graph(pybind11::module_ &module);
void bind_dump(pybind11::module_ &module);
void bind_msd(pybind11::module_ &module);
