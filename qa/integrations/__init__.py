"""Retrievers of other frameworks over a running service. Each needs the extra of its name.

langchain    a retriever of LangChain
llama_index  a retriever of LlamaIndex
metadata     what they keep of a reply beside each passage
"""
