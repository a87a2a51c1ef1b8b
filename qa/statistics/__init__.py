"""Numbers and what can be concluded from them. Nothing here knows of documents or questions.

significance  intervals of means, paired tests, and the difference that could have been detected
risk          how far a confidence can be trusted, and which error can be promised
"""
