"""Support for the tests of Sitecrew and of plug-ins."""
