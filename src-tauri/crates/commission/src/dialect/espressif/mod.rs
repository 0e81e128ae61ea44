//! Espressif unified provisioning over BLE (protocomm).
